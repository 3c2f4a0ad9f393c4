-- Give a live worker of this queue a command, which its next heartbeat takes.
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 command  3 ms that it is kept
-- Returns  OK, or MISSING if no such worker has a lease

local key = P .. KEY.commands .. ARGV[1]

local lease = redis.call('ZSCORE', P .. KEY.workers, ARGV[1])
if not lease or tonumber(lease) < now then
  return 'MISSING'
end
for _, earlier in ipairs(redis.call('LRANGE', key, 0, -1)) do
  if earlier == ARGV[2] then
    return 'OK'
  end
end
redis.call('RPUSH', key, ARGV[2])
-- Nobody needs more of them; old ones may be of a worker that can't read any.
redis.call('LTRIM', key, -20, -1)
redis.call('PEXPIRE', key, ARGV[3])
return 'OK'
