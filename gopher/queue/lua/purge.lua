-- Delete waiting or dead jobs, a limited number a call. Jobs that came since the first call stay: also the
-- children that the purge itself has set free.
--
-- pending, scheduled, retrying or failed -> -
--
-- KEYS  1 prefix
-- ARGV  1 state  2 limit  3 when the first call was (ms), '' for the first
-- Returns  how many were deleted, 0 when none is left; when the first call was
-- uses: base clock alarm arm dead ended
local state, limit, began, purged = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or now, 0
local MOST_KEPT = 1000 -- jobs that came later and are passed over in one call
local kept = {}

-- Children that are set free in the very millisecond have parents; jobs that were put in then have none.
local function is_later(since, parents)
  since = tonumber(since) or 0
  return since > began or (since == began and parents)
end

-- Delete a job, unless it has moved on or came later. Returns false when it shall stay.
local function forget(id, priority)
  local fields, corrupt = read(id, 'state', 'unique', 'children', 'since', 'parents')
  if fields[1] ~= state then
    if priority and not corrupt then
      redis.call('HINCRBY', P .. 'tombstones', priority, -1)
    end
    return true
  elseif state == 'pending' and is_later(fields[4], fields[5]) then
    return false
  end
  redis.call('DEL', P .. 'job:' .. id)
  ended(id, false, { unique = fields[2], children = fields[3] })
  purged = purged + 1
  return true
end

local function purge_list(key, priority)
  while purged < limit and #kept < MOST_KEPT do
    local id = redis.call('RPOP', key)
    if not id then
      return
    end
    if not forget(id, priority) then
      kept[#kept + 1] = { key, id }
    end
  end
end

local function put_back()
  for i = #kept, 1, -1 do
    redis.call('RPUSH', kept[i][1], kept[i][2])
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
  put_back()
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
return { purged, began }
