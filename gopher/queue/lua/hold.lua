-- Say in a running job's record that it waits in its worker for memory, or that it has and starts now.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 token  3 the bytes that it needs, since when it waits, and until when it has (ms)
-- Returns  OK, or STALE when the attempt is over

local record = P .. KEY.job .. ARGV[1]
local fields = read_record(ARGV[1], 'token', 'state')
if fields[1] ~= ARGV[2] or fields[2] ~= STATE.processing then
  return 'STALE'
end
allow_when_full()
-- With the token: it says nothing of later attempts.
redis.call('HSET', record, 'memory_wait', ARGV[2] .. ' ' .. ARGV[3])
if string.match(ARGV[3], ' .* ') then
  redis.call('HSET', record, 'started', now)
end
return 'OK'
