-- Note that the handlers of a running process declare schedules and limits.
--
-- KEYS  1 prefix
-- ARGV  1 '1' to note only what is not noted yet  then 'schedule:<name>' or 'limit:<type>' each
-- Returns  OK

-- Longer than any setting of when to withdraw: 30 days.
local KEPT_FOR = 30 * 86400000

allow_when_full()
for i = 2, #ARGV do
  if ARGV[1] == '1' then
    redis.call('ZADD', P .. KEY.declared, 'NX', now, ARGV[i])
  else
    redis.call('ZADD', P .. KEY.declared, now, ARGV[i])
  end
end
redis.call('PEXPIRE', P .. KEY.declared, KEPT_FOR)
return 'OK'
