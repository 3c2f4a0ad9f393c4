-- Delete waiting or dead jobs, a limited number a call.
--
-- pending, scheduled, retrying or failed -> -
--
-- KEYS  1 prefix
-- ARGV  1 state  2 limit
-- Returns  how many were deleted; 0 when none is left
-- uses: base clock alarm arm dead ended
local state, limit, purged = ARGV[1], tonumber(ARGV[2]), 0

local function forget(id, priority)
  local fields = redis.call('HMGET', P .. 'job:' .. id, 'state', 'unique', 'children')
  if fields[1] == state then
    redis.call('DEL', P .. 'job:' .. id)
    ended(id, false, { unique = fields[2], children = fields[3] })
    purged = purged + 1
  elseif priority then
    redis.call('HINCRBY', P .. 'tombstones', priority, -1)
  end
end

local function purge_list(key, priority)
  while purged < limit do
    local id = redis.call('RPOP', key)
    if not id then
      return
    end
    forget(id, priority)
  end
end

if state == 'pending' then
  purge_list(P .. 'next')
  for _, priority in ipairs({ 'high', 'normal', 'low' }) do
    purge_list(P .. 'pending:' .. priority, priority)
    for _, bucket in ipairs(redis.call('ZRANGE', P .. 'throttled', 0, -1)) do
      purge_list(P .. 'throttled:' .. bucket .. ':' .. priority)
    end
  end
else
  for _, id in ipairs(redis.call('ZRANGE', P .. state, 0, limit - 1)) do
    if state == 'failed' then
      exhume(id)
    else
      redis.call('ZREM', P .. state, id)
    end
    forget(id)
  end
end
if state == 'pending' or ended_went > 0 then
  arm()
end
write_counts()
if purged > 0 then
  redis.call('HINCRBY', P .. 'totals', 'purged', purged)
end
return purged
