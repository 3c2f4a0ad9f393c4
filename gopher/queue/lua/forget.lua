-- Delete what is left of a queue that holds nothing: its name is not among the known ones any more. What it has counted
-- is returned, and with it the queue has counted nothing.
--
-- KEYS  1 prefix
-- ARGV  names of the series of samples: the steps in ms
-- Returns  BUSY when it holds something, else GONE, and the fields and numbers of what was counted: those of `totals`, and
--       those of a type's histograms as <name of the key>:<type>:<field>

if holds_waiting_jobs() or holds_anything_else() then
  return { 'BUSY' }
end
local reply, types = { 'GONE' }, {}

local function take(key, head)
  local flat = values_of('HGETALL', key)
  for i = 1, #flat, 2 do
    reply[#reply + 1] = head .. flat[i]
    reply[#reply + 1] = flat[i + 1]
  end
  redis.call('DEL', key)
  return flat
end

local totals = take(P .. KEY.totals, '')
for i = 1, #totals, 2 do
  local job_type = string.match(totals[i], '^[^:]+:([^:]+)')
  if job_type and not types[job_type] then
    types[job_type] = true
    for _, head in ipairs({ KEY.histogram, KEY.latencies }) do
      take(P .. head .. job_type, head .. job_type .. ':')
    end
  end
end
for _, job_type in ipairs(values_of('SMEMBERS', P .. KEY.limited)) do
  redis.call('DEL', P .. KEY.limit .. job_type, P .. KEY.held .. job_type)
end
for _, tenant in ipairs(values_of('HKEYS', P .. KEY.tenants)) do
  redis.call('DEL', P .. KEY.limit .. '@' .. tenant)
end
for _, step in ipairs(ARGV) do
  redis.call('DEL', P .. KEY.timeline .. step)
end
redis.call('DEL', P .. KEY.limited, P .. KEY.tombstones, P .. KEY.last, P .. KEY.versions, P .. KEY.removed,
  P .. KEY.alarm, P .. KEY.clock_set, P .. KEY.group_names, P .. KEY.evicted, P .. KEY.parked_jobs,
  P .. KEY.waiting, P .. KEY.declared, P .. KEY.subscribed, P .. KEY.tenants, P .. KEY.turns, P .. KEY.resting)
return reply
