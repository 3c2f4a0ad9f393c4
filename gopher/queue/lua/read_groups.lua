-- Read the groups of dead letters, those with the latest deaths first.
--
-- KEYS  1 prefix
-- ARGV  1 limit
-- Returns  for each group in turn: its id, its name, how many stand in it, when the first and the last of them
--       died (ms), id of the last
-- uses: base values
local rows = {}
for _, group in ipairs(values_of('ZREVRANGE', P .. 'groups', 0, ARGV[1] - 1)) do
  local first = values_of('ZRANGE', P .. 'group:' .. group, 0, 0, 'WITHSCORES')
  local last = values_of('ZRANGE', P .. 'group:' .. group, -1, -1, 'WITHSCORES')
  local name = values_of('HMGET', P .. 'group_names', group)[1]
  if name and last[1] then
    local count = redis.call('ZCARD', P .. 'group:' .. group)
    for _, value in ipairs({ group, name, count, first[2], last[2], last[1] }) do
      rows[#rows + 1] = value
    end
  end
end
return rows
