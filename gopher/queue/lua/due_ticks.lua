-- Read which schedules are to fire.
--
-- KEYS  1 prefix
-- ARGV  1 limit
-- Returns  now, when the next one after these is due (ms, '' for never), then name, time and definition of
--       each that is due

local due = redis.call('ZRANGEBYSCORE', P .. KEY.ticks, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local later = redis.call('ZRANGEBYSCORE', P .. KEY.ticks, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = { now, later[2] or '' }
for i = 1, #due, 2 do
  reply[#reply + 1] = due[i]
  reply[#reply + 1] = due[i + 1]
  reply[#reply + 1] = redis.call('HGET', P .. KEY.schedules, due[i]) or ''
end
return reply
