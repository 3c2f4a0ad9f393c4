local PRIORITY = { h = 'high', n = 'normal', l = 'low' }
local budget = 1000 -- cancelled jobs passed over in one call
local queue_paused = redis.call('EXISTS', P .. 'paused') == 1

-- What `fetch` starts a job with.
local function read_job(id)
  local fields, spoilt = read(id, 'state', 'type', 'priority', 'since', 'attempts', 'crashes',
    'lost', 'expires', 'retention', 'envelope', 'token', 'unique', 'children', 'parents', 'bucket', 'parked')
  return {
    state = fields[1], type = fields[2], priority = fields[3], since = fields[4], attempts = fields[5],
    crashes = fields[6], lost = fields[7], expires = fields[8], retention = fields[9], envelope = fields[10],
    token = fields[11], unique = fields[12], children = fields[13], parents = fields[14], bucket = fields[15],
    parked = fields[16], spoilt = spoilt,
  }
end

-- Move the head of pending:<name> to the left end of `into`, passing over jobs that were cancelled
-- where they stood. Returns its id and its record.
local function draw(name, into)
  while budget > 0 do
    local id = redis.call('LMOVE', P .. 'pending:' .. name, into, 'RIGHT', 'LEFT')
    if not id then
      return nil
    end
    local job = read_job(id)
    if job.state == 'pending' then
      return id, job
    end
    redis.call('LPOP', into)
    if not job.spoilt then
      redis.call('HINCRBY', P .. 'tombstones', name, -1)
    end
    budget = budget - 1
  end
  return nil
end

-- Put the next job by `order` (letters of priorities, the preferred one first; strict where a worker's
-- turn does not say otherwise) into `next` if it is free: what wakes an idle worker. Returns whether
-- `next` holds a job, or more has to be passed over.
local function arm(order)
  if queue_paused then
    return false
  end
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
