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
  local fields, corrupt = read_record(id, 'state', 'unique', 'children', 'since', 'parents', 'owner', 'tells')
  if fields[1] ~= state then
    if priority and not corrupt then
      redis.call('HINCRBY', P .. KEY.tombstones, priority, -1)
    end
    return true
  elseif state == STATE.pending and is_later(fields[4], fields[5]) then
    return false
  end
  return_unique_key(id, fields[2])
  redis.call('DEL', P .. KEY.job .. id)
  count_owner(WAITING[state] and fields[6], -1)
  -- What a dead letter had to tell, it has told when it failed.
  after_end(id, DELETED, { unique = fields[2], children = fields[3], tells = WAITING[state] and fields[7] })
  purged = purged + 1
  return true
end

-- Returns how many ids were taken from the list.
local function purge_list(key, priority)
  local taken = 0
  while purged < limit and #kept < MOST_KEPT do
    local id = redis.call('RPOP', key)
    if not id then
      break
    end
    taken = taken + 1
    if not delete_job(id, priority) then
      kept[#kept + 1] = { key, id }
    end
  end
  return taken
end

local function purge_parked(priority)
  local kept_before, taken = #kept, 0
  for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, -1)) do
    taken = taken + purge_list(P .. KEY.parked .. bucket .. ':' .. priority)
  end
  local left = taken - (#kept - kept_before)
  if left > 0 then
    redis.call('HINCRBY', P .. KEY.parked_jobs, priority, -left)
  end
end

local taken_from_ring = {} -- priority -> tenants, the next one first
local left_in_ring = {} -- priority -> how many are left there

-- Purge the lists of tenants, from the head of the ring on, and those of tenants that rest.
local function purge_tenants(priority)
  local lists, names = lists_of_tenants(), {}
  local function purge_list_of(tenant)
    local kept_before = #kept
    local taken = purge_list(lists.key(priority, tenant), priority)
    lists.count(priority, #kept - kept_before - taken)
  end
  while purged < limit and #kept < MOST_KEPT do
    local tenant = redis.call('RPOP', P .. KEY.ring .. priority)
    if not tenant then
      break
    end
    names[#names + 1] = tenant
    if tenant ~= '' then
      purge_list_of(tenant)
    end
  end
  for _, member in ipairs(redis.call('SMEMBERS', P .. KEY.resting)) do
    local its_priority, tenant = string.match(member, '^([^:]*):(.*)$')
    if its_priority == priority then
      purge_list_of(tenant)
    end
  end
  taken_from_ring[priority], left_in_ring[priority] = names, redis.call('LLEN', P .. KEY.ring .. priority)
end

-- Return tenants to the ring whose lists hold ids after all that is kept has returned.
local function return_tenants()
  local lists = lists_of_tenants()
  for priority, names in pairs(taken_from_ring) do
    -- Jobs that waited for purged ones may have come meanwhile, with their tenants.
    local is_there, ring = {}, P .. KEY.ring .. priority
    local come = redis.call('LLEN', ring) - left_in_ring[priority]
    for _, tenant in ipairs(come > 0 and redis.call('LRANGE', ring, 0, come - 1) or {}) do
      is_there[tenant] = true
    end
    for i = #names, 1, -1 do
      local is_missing = not is_there[names[i]]
      is_there[names[i]] = true
      if is_missing and (names[i] == '' or redis.call('EXISTS', lists.key(priority, names[i])) == 1) then
        redis.call('RPUSH', ring, names[i])
      end
    end
    lists.end_ring_if_alone(priority)
  end
  for _, member in ipairs(redis.call('SMEMBERS', P .. KEY.resting)) do
    if redis.call('EXISTS', P .. KEY.pending_of .. member) == 0 then
      redis.call('SREM', P .. KEY.resting, member)
    end
  end
end

local function return_kept()
  for i = #kept, 1, -1 do
    redis.call('RPUSH', kept[i][1], kept[i][2])
  end
end

local function purge_pending()
  local has_lists_of_tenants = sees_tenants()
  purge_list(P .. KEY.next)
  for _, priority in ipairs(PRIORITIES) do
    purge_list(P .. KEY.pending .. priority, priority)
    purge_parked(priority)
    if has_lists_of_tenants then
      purge_tenants(priority)
    end
  end
  return_kept()
  if has_lists_of_tenants then
    return_tenants()
  end
end

-- For a state with a sorted set.
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
