-- Copy the ids of all jobs of a queue in one step, so that an export can read their records one page after another: each
-- job once, whatever moves meanwhile. A repeat returns what the first call has copied.
--
-- KEYS  1 prefix
-- ARGV  1 id of the snapshot  2 for how many ms it is kept after it was last read  3 '1' with finished jobs, else ''
-- Returns  'at' and when it was taken (ms), 'paused' and '1' or '', and every place with the number of its ids

local id, head = ARGV[1], P .. KEY.snapshot .. ARGV[1]
local known = redis.call('HGETALL', head)
if #known > 0 then
  return known
end
-- A full server is a reason to move: an export must be possible there.
allow_when_full()

local places = {}

local function copy_sorted_set(place)
  if redis.call('COPY', P .. place, copy_of(id, place)) == 1 then
    places[place] = redis.call('ZCARD', P .. place)
  end
end

-- Add the ids of a list to those of a place: the head of a queue is at the right.
local function copy_list(place, list)
  local copy, length, at = copy_of(id, place), redis.call('LLEN', list), 0
  if length == 0 then
    return
  end
  if redis.call('COPY', list, copy) == 0 then
    while at < length do
      redis.call('RPUSH', copy, unpack(redis.call('LRANGE', list, at, at + 999)))
      at = at + 1000
    end
  end
  places[place] = (places[place] or 0) + length
end

-- Those of a tenant stay together: an import has them take turns again.
local function copy_tenants(priority)
  local function copy_list_of(tenant)
    if tenant ~= '' then
      copy_list(KEY.pending .. priority, lists_of_tenants().key(priority, tenant))
    end
  end
  local ring = redis.call('LRANGE', P .. KEY.ring .. priority, 0, -1)
  for at = #ring, 1, -1 do
    copy_list_of(ring[at])
  end
  for _, member in ipairs(redis.call('SMEMBERS', P .. KEY.resting)) do
    local its_priority, tenant = string.match(member, '^([^:]*):(.*)$')
    if its_priority == priority then
      copy_list_of(tenant)
    end
  end
end

for _, state in ipairs(SORTED) do
  copy_sorted_set(state)
end
if ARGV[3] == '1' then
  copy_sorted_set(KEY.finished)
end
for _, workers in ipairs({ P .. KEY.workers, P .. KEY.fenced }) do
  for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
    copy_list(STATE.processing, P .. KEY.processing .. worker)
  end
end
copy_list(KEY.next, P .. KEY.next)
for _, priority in ipairs(PRIORITIES) do
  for _, bucket in ipairs(redis.call('ZRANGE', P .. KEY.throttled, 0, -1)) do
    copy_list(KEY.parked .. priority, P .. KEY.parked .. bucket .. ':' .. priority)
  end
  copy_list(KEY.pending .. priority, P .. KEY.pending .. priority)
  copy_tenants(priority)
end

redis.call('HSET', head, 'at', now, 'paused', redis.call('EXISTS', P .. KEY.paused) == 1 and '1' or '')
for place, ids in pairs(places) do
  redis.call('HSET', head, place, ids)
end
keep_snapshot(id, ARGV[2])
return redis.call('HGETALL', head)
