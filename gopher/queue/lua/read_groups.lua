-- Read the groups of dead letters, those with the latest deaths first.
--
-- KEYS  1 prefix
-- ARGV  1 limit
-- Returns  for each group in turn: its id, its name, how many jobs are in it, when the first and the last of them
--       died (ms), id of the last

local found = {}
for _, group in ipairs(values_of('ZREVRANGE', P .. KEY.groups, 0, ARGV[1] - 1)) do
  local first = values_of('ZRANGE', P .. KEY.group .. group, 0, 0, 'WITHSCORES')
  local last = values_of('ZRANGE', P .. KEY.group .. group, -1, -1, 'WITHSCORES')
  local name = values_of('HMGET', P .. KEY.group_names, group)[1]
  if name and last[1] then
    local jobs = redis.call('ZCARD', P .. KEY.group .. group)
    for _, value in ipairs({ group, name, jobs, first[2], last[2], last[1] }) do
      found[#found + 1] = value
    end
  end
end
return found
