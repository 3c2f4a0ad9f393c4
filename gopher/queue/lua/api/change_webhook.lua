-- Create, replace or delete a webhook, or the secret of callbacks.
--
-- KEYS  1 the hash of webhooks
-- ARGV  1 its field  2 its record as the caller has read it ('' for none)  3 its new record ('' for none)  4 maximum number of
--       webhooks
-- Returns  OK, also for a repeat; CHANGED when the record is another one by now; FULL when there would be too many
local stored = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if stored == ARGV[3] then
  return 'OK'
elseif stored ~= ARGV[2] then
  return 'CHANGED'
end
if stored == '' and #ARGV[1] == 12 then
  local kept = 0
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    kept = kept + (#field == 12 and 1 or 0)
  end
  if kept >= tonumber(ARGV[4]) then
    return 'FULL'
  end
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1], 'failures:' .. ARGV[1], 'disabled:' .. ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('HSET', KEYS[1], 'version', clock[1] .. '.' .. clock[2])
return 'OK'
