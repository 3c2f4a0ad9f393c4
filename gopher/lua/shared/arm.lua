local PRIORITY = { h = 'high', n = 'normal', l = 'low' }
local budget = 1000 -- cancelled jobs passed over in one call

-- Move the head of pending:<name> to the left end of `into`, passing over jobs that were cancelled
-- where they stood. Returns its id and the fields of its record that `fetch` starts it with.
local function draw(name, into)
  while budget > 0 do
    local id = redis.call('LMOVE', P .. 'pending:' .. name, into, 'RIGHT', 'LEFT')
    if not id then
      return nil
    end
    local fields = redis.call('HMGET', P .. 'job:' .. id, 'state', 'type', 'priority', 'since',
      'attempts', 'crashes', 'lost', 'expires', 'retention', 'envelope')
    if fields[1] == 'pending' then
      return id, fields
    end
    redis.call('LPOP', into)
    redis.call('HINCRBY', P .. 'tombstones', name, -1)
    budget = budget - 1
  end
  return nil
end

-- Put the next job by `order` (letters of priorities, the preferred one first; strict where a worker's
-- turn does not say otherwise) into `next` if it is free: what wakes an idle worker. Returns whether
-- `next` holds a job, or more has to be passed over.
local function arm(order)
  if redis.call('EXISTS', P .. 'next') == 1 then
    return true
  end
  local tried = {}
  for letter in string.gmatch(order or 'hnl', '.') do
    if not tried[letter] then
      tried[letter] = true
      if draw(PRIORITY[letter], P .. 'next') then
        return true
      end
    end
  end
  return budget <= 0
end
