-- Note that a running job is frozen, or continues.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 token  3 ms that the attempt was frozen before  4 '1' if it is frozen now, else ''
-- Returns  OK, or STALE when the attempt is over

allow_when_full()
local fields = read_record(ARGV[1], 'token', 'state', 'type', 'frozen')
if fields[1] ~= ARGV[2] or fields[2] ~= STATE.processing then
  return 'STALE'
end
-- With the token, so that it is not taken for that of the next attempt.
local before = ARGV[2] .. ' ' .. ARGV[3] .. ' '
if ARGV[4] ~= '1' then
  redis.call('HSET', P .. KEY.job .. ARGV[1], 'frozen', before)
elseif not fields[4] or fields[4] == before or string.sub(fields[4], 1, #before) ~= before then
  redis.call('HSET', P .. KEY.job .. ARGV[1], 'frozen', before .. string.format('%.0f', now))
  count(COUNTER.frozen .. fields[3], 1)
  write_counts()
end
return 'OK'
