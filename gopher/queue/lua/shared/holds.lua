-- Whether a queue holds anything for which it has to be known: jobs of any kind, records of ended ones, schedules,
-- dead letters that are being retried, a pause, a worker. Counters, limits of types and points of plots are not that.
local FILLED = { 'next', 'pending:high', 'pending:normal', 'pending:low', 'throttled', 'scheduled', 'retrying' }
local KEPT = { 'telling', 'failed', 'finished', 'corrupt', 'schedules', 'ticks', 'redrives', 'paused', 'registering',
  'workers', 'fenced' }

local function exist(names)
  local keys = {}
  for i, name in ipairs(names) do
    keys[i] = P .. name
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end
