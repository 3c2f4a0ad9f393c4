-- Delete what is left of a queue that holds nothing: its name is not among the known ones any more. What it has counted
-- is given back, and with it the queue has counted nothing.
--
-- KEYS  1 prefix
-- ARGV  names of the series of samples: the steps in ms
-- Returns  BUSY when it holds something, else GONE, and the fields and numbers of what was counted: those of `totals`, and
--       those of a type's histogram as histogram:<type>:<field>
-- uses: base holds values
if exist(FILLED) or exist(KEPT) then
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

local totals = take(P .. 'totals', '')
for i = 1, #totals, 2 do
  local job_type = string.match(totals[i], '^[^:]+:([^:]+)')
  if job_type and not types[job_type] then
    types[job_type] = true
    take(P .. 'histogram:' .. job_type, 'histogram:' .. job_type .. ':')
  end
end
for _, job_type in ipairs(values_of('SMEMBERS', P .. 'limited')) do
  redis.call('DEL', P .. 'limit:' .. job_type)
end
for _, step in ipairs(ARGV) do
  redis.call('DEL', P .. 'timeline:' .. step)
end
redis.call('DEL', P .. 'limited', P .. 'tombstones', P .. 'last', P .. 'alarm', P .. 'clock_set', P .. 'group_names',
  P .. 'evicted')
return reply
