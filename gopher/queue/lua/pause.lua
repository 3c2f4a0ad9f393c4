-- Start no more jobs of a queue, or of one type. Running jobs continue.
--
-- next -> the head of pending, for a queue
--
-- KEYS  1 prefix
-- ARGV  1 type, or '' for the whole queue
-- Returns  1 when that is new, 0 when it was paused already

allow_when_full()
if ARGV[1] ~= '' then
  redis.call('SADD', P .. KEY.limited, ARGV[1])
  return redis.call('HSET', P .. KEY.limit .. ARGV[1], 'paused', now)
end

local id = redis.call('LINDEX', P .. KEY.next, 0)
if id then
  local fields = read_record(id, 'priority', 'tenant')
  if fields[1] then
    push_pending('RPUSH', id, fields[1], fields[2])
  end
  redis.call('LPOP', P .. KEY.next)
end
return redis.call('SET', P .. KEY.paused, now, 'NX') and 1 or 0
