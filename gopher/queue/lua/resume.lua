-- Give out the jobs of a queue, or of one type, again.
--
-- KEYS  1 prefix
-- ARGV  1 type, or '' for the whole queue
-- Returns  1 when it was paused, 0 when it was not
-- uses: base clock arm alarm wake
local was_paused
open_when_full()
if ARGV[1] ~= '' then
  was_paused = redis.call('HDEL', P .. 'limit:' .. ARGV[1], 'paused')
  note_limited(ARGV[1])
  wake(ARGV[1])
else
  was_paused = redis.call('DEL', P .. 'paused')
  arm()
end
return was_paused
