-- Store which ends of jobs in this queue webhooks are to be told of. What is older than what is stored changes nothing.
--
-- KEYS  1 prefix
-- ARGV  1 when the webhooks were last changed (us since 1970)  then of each type, or '*' for all: its name and the states,
--       such as ',completed,failed,'
-- Returns  1 when it is stored, 0 when it is older

local stored = redis.call('HGET', P .. KEY.subscribed, 'version')
if stored and tonumber(stored) > tonumber(ARGV[1]) then
  return 0
end
redis.call('DEL', P .. KEY.subscribed)
if #ARGV > 1 then
  redis.call('HSET', P .. KEY.subscribed, 'version', ARGV[1])
  for i = 2, #ARGV, 2 do
    redis.call('HSET', P .. KEY.subscribed, ' ' .. ARGV[i], ARGV[i + 1])
  end
end
return 1
