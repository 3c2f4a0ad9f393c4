-- Remove a member from a sorted set, unless it has another score by now.
--
-- KEYS  1 the sorted set
-- ARGV  1 member  2 score, as the caller read it
-- Returns  whether it was removed
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
