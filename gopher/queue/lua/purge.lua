-- Delete waiting or dead jobs, a limited number a call. Jobs that came since the first call are kept: also the
-- children that the purge itself has released.
--
-- pending, scheduled, retrying or failed -> -
--
-- KEYS  1 prefix
-- ARGV  1 state  2 limit  3 when the first call was (ms), '' for the first
-- Returns  how many were deleted, 0 when none is left; when the first call was

local state, limit, began, purged = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or now, 0
local MOST_KEPT = 1000 -- jobs that came later and are skipped in one call
local kept = {} -- list and id of each

-- Children that are released in the very millisecond have parents; jobs that were put in then have none.
local function is_later(since, parents)
  since = tonumber(since) or 0
  return since > began or (since == began and parents)
end

-- Delete a job, unless it has moved on or came later. Returns false when it must be kept.
local function delete_job(id, priority)
  local fields, corrupt = read_record(id, 'state', 'unique', 'children', 'since', 'parents')
  if fields[1] ~= state then
    if priority and not corrupt then
      redis.call('HINCRBY', P .. KEY.tombstones, priority, -1)
    end
    return true
  elseif state == STATE.pending and is_later(fields[4], fields[5]) then
    return false
  end
  redis.call('DEL', P .. KEY.job .. id)
  after_end(id, false, { unique = fields[2], children = fields[3] })
  purged = purged + 1
  return true
end

local function purge_list(key, priority)
  while purged < limit and #kept < MOST_KEPT do
    local id = redis.call('RPOP', key)
    if not id then
      return
    end
    if not delete_job(id, priority) then
      kept[#kept + 1] = { key, id }
    end
  end
end

local function return_kept()
  for i = #kept, 1, -1 do
    redis.call('RPUSH', kept[i][1], kept[i][2])
  end
end

local function purge_pending()
  purge_list(P .. KEY.next)
  for _, priority in ipairs(PRIORITIES) do
    purge_list(P .. KEY.pending .. priority, priority)
    for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, -1)) do
      purge_list(P .. KEY.parked .. bucket .. ':' .. priority)
    end
  end
  return_kept()
end

-- Of a state with a sorted set of its own.
local function purge_sorted()
  for _, id in ipairs(redis.call('ZRANGE', P .. state, 0, limit - 1)) do
    if DEAD[state] then
      remove_dead_letter(id)
    else
      redis.call('ZREM', P .. state, id)
    end
    delete_job(id)
  end
end

if state == STATE.pending then
  purge_pending()
else
  purge_sorted()
end
if state == STATE.pending or children_released > 0 then
  ensure_next()
end
write_counts()
if purged > 0 then
  redis.call('HINCRBY', P .. KEY.totals, COUNTER.purged, purged)
end
return { purged, began }
