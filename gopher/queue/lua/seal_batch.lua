-- Seal a batch: it takes no more jobs, and ends with the last of those that it has.
--
-- KEYS  1 prefix
-- ARGV  1 id
-- Returns  SEALED, ALREADY or MISSING

local record = P .. KEY.batch .. ARGV[1]
allow_when_full()
if redis.call('HEXISTS', record, 'created') == 0 then
  return 'MISSING'
end
if redis.call('HSETNX', record, 'sealed_at', now) == 0 then
  return 'ALREADY'
end
check_batch(ARGV[1])
return 'SEALED'
