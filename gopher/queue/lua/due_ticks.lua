-- Look which schedules are to fire.
--
-- KEYS  1 prefix
-- ARGV  1 limit
-- Returns  now, when the next one after these is due (ms, '' for never), then name, time and definition of
--       each that is due
-- uses: base clock
local due = redis.call('ZRANGEBYSCORE', P .. 'ticks', '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local later = redis.call('ZRANGEBYSCORE', P .. 'ticks', '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = { now, later[2] or '' }
for i = 1, #due, 2 do
  reply[#reply + 1] = due[i]
  reply[#reply + 1] = due[i + 1]
  reply[#reply + 1] = redis.call('HGET', P .. 'schedules', due[i]) or ''
end
return reply
