-- Limits of tenants, by the engine of those of types: that of a tenant is limit:@<tenant>, its bucket @<tenant>. A tenant that
-- has reached its limit leaves the ring, so that this costs the same however many of its jobs wait.

local tenant_settings = {} -- tenant -> its weight, and whether its use is limited
local NOTHING_SET = { weight = 1, limited = false }

-- Read the settings of tenants: '<weight>', followed by '*' if the use is limited. Returns whether nothing is set of any.
local function read_tenant_settings(tenants)
  local is_nothing = true
  for i, text in ipairs(redis.call('HMGET', P .. KEY.tenants, unpack(tenants))) do
    local settings = NOTHING_SET
    if text then
      local weight, limited = string.match(text, '^(%d+)(%*?)$')
      settings, is_nothing = { weight = tonumber(weight) or 1, limited = limited == '*' }, false
    end
    tenant_settings[tenants[i]] = settings
  end
  return is_nothing
end

local function is_limited_tenant(tenant)
  if tenant and not tenant_settings[tenant] then
    read_tenant_settings({ tenant })
  end
  return tenant and tenant_settings[tenant].limited
end

local function free_lost_slots(bucket)
  for _, id in ipairs(redis.call('SRANDMEMBER', P .. KEY.holding .. bucket, 5)) do
    if not RUNNING[read_record(id, 'state')[1]] then
      redis.call('SREM', P .. KEY.holding .. bucket, id)
    end
  end
end

-- Return how many jobs of a limited tenant may start now, and when to check again if none may.
local function tenant_room(tenant)
  local bucket = '@' .. tenant
  local limit = limit_of(bucket)
  local room, at = room_for(bucket, limit)
  if room < 1 and limit.concurrency then
    -- A process of an earlier version does not free what jobs of tenants hold.
    free_lost_slots(bucket)
    room, at = room_for(bucket, limit)
  end
  return room, at
end

-- Have a tenant that has left the ring wait until its limit lets it go on.
local function rest_tenant(priority, tenant, at)
  redis.call('SADD', P .. KEY.resting, priority .. ':' .. tenant)
  check_at('@' .. tenant, at)
  wake_scheduler_if_first(KEY.throttled, at)
end

-- Put a job that its tenant's limit refuses back to the head of its list.
local function hold_back_job(id, priority, tenant, at)
  local lists = lists_of_tenants()
  lists.push('RPUSH', priority, tenant, id)
  if redis.call('LREM', P .. KEY.ring .. priority, 1, tenant) == 1 then
    lists.end_ring_if_alone(priority)
  end
  rest_tenant(priority, tenant, at)
end

-- Let a tenant that rests go on if it may. Returns how many of its lists are in turn again.
local function wake_tenant(bucket)
  local tenant, woken = string.sub(bucket, 2), 0
  local room, at = 1, nil
  if is_limited_tenant(tenant) then
    room, at = tenant_room(tenant)
  end
  if room < 1 then
    redis.call('ZADD', P .. KEY.throttled, at, bucket)
    return 0
  end
  for _, priority in ipairs(PRIORITIES) do
    if redis.call('SREM', P .. KEY.resting, priority .. ':' .. tenant) == 1 then
      lists_of_tenants().join_ring(priority, { tenant })
      woken = woken + 1
    end
  end
  redis.call('ZREM', P .. KEY.throttled, bucket)
  return woken
end

-- A process of an earlier version that checks the bucket of a tenant finds nothing to release, and forgets it.
local function find_forgotten_tenants()
  for _, member in ipairs(redis.call('SRANDMEMBER', P .. KEY.resting, 20)) do
    redis.call('ZADD', P .. KEY.throttled, 'NX', now, '@' .. string.match(member, '^[^:]*:(.*)$'))
  end
end
