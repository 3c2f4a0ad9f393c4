-- Note how a delivery of a webhook has ended: failures in a row disable it, and so does a receiver that is gone.
--
-- KEYS  1 the hash of webhooks
-- ARGV  1 id  2 delivered, failed, gone, or enabled: by an operator  3 after how many failures it is disabled
-- Returns  1 when that has disabled or enabled it, else 0
local id, outcome = ARGV[1], ARGV[2]
if redis.call('HEXISTS', KEYS[1], id) == 0 then
  return 0
end
local changed = 0
if outcome == 'delivered' or outcome == 'enabled' then
  redis.call('HDEL', KEYS[1], 'failures:' .. id)
  changed = outcome == 'enabled' and redis.call('HDEL', KEYS[1], 'disabled:' .. id) or 0
else
  local failures = redis.call('HINCRBY', KEYS[1], 'failures:' .. id, 1)
  if outcome == 'gone' or failures >= tonumber(ARGV[3]) then
    local why = outcome == 'gone' and 'its receiver answered 410' or failures .. ' deliveries in a row have failed'
    changed = redis.call('HSETNX', KEYS[1], 'disabled:' .. id, string.format('%.0f', now) .. ' ' .. why)
  end
end
if changed == 1 then
  redis.call('HSET', KEYS[1], 'version', clock[1] .. '.' .. clock[2])
end
return changed
