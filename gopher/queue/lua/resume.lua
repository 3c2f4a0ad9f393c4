-- Start jobs of a queue, or of one type, again.
--
-- KEYS  1 prefix
-- ARGV  1 type, or '' for the whole queue
-- Returns  1 when it was paused, 0 when it was not

local was_paused
allow_when_full()
if ARGV[1] ~= '' then
  was_paused = redis.call('HDEL', P .. KEY.limit .. ARGV[1], 'paused')
  update_limited(ARGV[1])
  check_type_now(ARGV[1])
else
  was_paused = redis.call('DEL', P .. KEY.paused)
  ensure_next()
end
return was_paused
