-- Start to cancel all jobs that match a filter. Those that match now are cancelled step by step (continue_cancellations).
--
-- KEYS  1 prefix
-- ARGV  1 id  2 states, joined by commas  3 '1' to count the jobs only  4 what was asked for (JSON), for people
--       5 the conditions, packed (MessagePack): type, created before (ms), fields of the envelope, tenant; '' for none
-- Returns  how many jobs will be looked at

local id = ARGV[1]
local record = P .. KEY.cancellation .. id
local known_total = redis.call('HGET', record, 'total')
if known_total then
  return tonumber(known_total)
end

allow_when_full()
local places, total = places_of(ARGV[2])
redis.call('HSET', record, 'state', 'running', 'states', ARGV[2], 'dry_run', ARGV[3], 'asked', ARGV[4],
  'conditions', ARGV[5], 'places', cmsgpack.pack(places), 'total', total, 'looked_at', 0, 'matched', 0, 'ended', 0,
  'stopping', 0, 'began', now)
redis.call('ZADD', P .. KEY.cancellations, now, id)
wake_scheduler_if_first(KEY.cancellations, now)
return total
