-- Store the names of new queues, all of them or none, up to the maximum number of queues.
--
-- KEYS  1 the set of queues
-- ARGV  1 maximum number of queues  then the names
-- Returns  1 when they are stored, 0 when they would be too many
local added = 0
for i = 2, #ARGV do
  added = added + 1 - redis.call('SISMEMBER', KEYS[1], ARGV[i])
end
if added > 0 and redis.call('SCARD', KEYS[1]) + added > tonumber(ARGV[1]) then
  return 0
end
for i = 2, #ARGV do
  redis.call('SADD', KEYS[1], ARGV[i])
end
return 1
