local PRIORITY = { h = 'high', n = 'normal', l = 'low' }
local budget = 1000 -- cancelled jobs passed over in one call
local drained = {} -- letters of priorities of which nothing is left, as far as that is known

-- Note that a job was passed over which had been cancelled where it stood, or whose record is corrupt.
local function pass_over(name, corrupt)
  if not corrupt then
    redis.call('HINCRBY', P .. 'tombstones', name, -1)
  end
  budget = budget - 1
end

-- Move the head of pending:<name> to `next`. Returns whether there was one.
local function draw(name)
  while budget > 0 do
    local id = redis.call('LMOVE', P .. 'pending:' .. name, P .. 'next', 'RIGHT', 'LEFT')
    if not id then
      return false
    end
    local fields, corrupt = read(id, 'state')
    if fields[1] == 'pending' then
      return true
    end
    redis.call('LPOP', P .. 'next')
    pass_over(name, corrupt)
  end
  return false
end

-- Put the next job by `order` (letters of priorities, the preferred one first; strict where a worker's
-- turn does not say otherwise) into `next`, which is free. Returns whether `next` holds a job, or more
-- has to be passed over.
local function fill_next(order)
  local tried = {}
  for letter in string.gmatch(order or 'hnl', '.') do
    if not (tried[letter] or drained[letter]) then
      tried[letter] = true
      if draw(PRIORITY[letter]) then
        return true
      end
    end
  end
  return budget <= 0
end

-- Fill `next` if it is free and the queue is not paused: what wakes an idle worker. Returns as fill_next does.
local function arm(order)
  if redis.call('EXISTS', P .. 'next') == 1 then
    return true
  end
  return redis.call('EXISTS', P .. 'paused') == 0 and fill_next(order)
end
