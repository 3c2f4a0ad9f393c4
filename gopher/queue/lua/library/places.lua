-- The places in which jobs wait or run, and how all of their jobs are read in steps while others come and go. A place is
-- {kind, key without prefix, where to go on}: 'sorted' and 'buckets' are read by cursor, which misses nothing that was there
-- all the time; of 'tenants' the key is a priority, and the names of all that wait are noted when it comes to them. A long list
-- is read from its left end, where jobs come in: what is pushed there meanwhile only makes us look at some twice. A short one,
-- from which jobs may be taken anywhere, is read at once.

local AT_ONCE = 200 -- ids that are read with one command

-- Return the places of jobs in some states (joined by commas), and about how many jobs are there. Jobs go from the first to
-- the last of them: one that moves on meanwhile is still met.
local function places_of(states)
  local wanted, places, total = {}, {}, 0
  for _, state in ipairs(split(states)) do
    wanted[state] = true
  end
  for _, state in ipairs(TIMED) do
    if wanted[state] then
      places[#places + 1] = { 'sorted', state, '0' }
      total = total + redis.call('ZCARD', P .. state)
    end
  end
  if wanted[STATE.pending] then
    for _, priority in ipairs(PRIORITIES) do
      places[#places + 1] = { 'list', KEY.pending .. priority, 0 }
      total = total + redis.call('LLEN', P .. KEY.pending .. priority)
        + math.max(tonumber(redis.call('HGET', P .. KEY.parked_jobs, priority)) or 0, 0)
    end
    for _, priority in ipairs(PRIORITIES) do
      places[#places + 1] = { 'tenants', priority, 1 }
      total = total + (tonumber(redis.call('HGET', P .. KEY.tenant_ids, priority)) or 0)
    end
    places[#places + 1] = { 'buckets', KEY.throttled, '0' }
    places[#places + 1] = { 'list', KEY.next, 0 }
    total = total + redis.call('LLEN', P .. KEY.next)
  end
  -- A waiting job may also be in the list of a worker that was just handed it.
  if wanted[STATE.pending] or wanted[STATE.processing] then
    for _, workers in ipairs({ P .. KEY.workers, P .. KEY.fenced }) do
      for _, worker in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
        places[#places + 1] = { 'list', KEY.processing .. worker, 0 }
        total = total + redis.call('LLEN', P .. KEY.processing .. worker)
      end
    end
  end
  return places, total
end

-- Put the lists of some buckets in front of the other places. Returns true: more is to be read.
local function open_buckets(places, cursor, buckets)
  if cursor == '0' then
    table.remove(places, 1)
  else
    places[1][3] = cursor
  end
  for i = 1, #buckets, 2 do
    for _, priority in ipairs(PRIORITIES) do
      table.insert(places, 1, { 'list', KEY.parked .. buckets[i] .. ':' .. priority, 0 })
    end
  end
end

-- Return the names of the tenants that have lists of a priority, a line each.
local function tenants_waiting(priority)
  local names = {}
  for _, tenant in ipairs(redis.call('LRANGE', P .. KEY.ring .. priority, 0, -1)) do
    names[#names + 1] = tenant ~= '' and tenant .. '\n' or nil
  end
  for _, member in ipairs(redis.call('SMEMBERS', P .. KEY.resting)) do
    local its_priority, tenant = string.match(member, '^([^:]*):(.*)$')
    names[#names + 1] = its_priority == priority and tenant .. '\n' or nil
  end
  return table.concat(names)
end

-- Put the list of the next tenant in front of the other places.
local function open_tenant(places)
  local place = places[1]
  place[4] = place[4] or tenants_waiting(place[2])
  local _, last, tenant = string.find(place[4], '([^\n]*)\n', place[3])
  if not last then
    return table.remove(places, 1)
  end
  place[3] = last + 1
  table.insert(places, 1, { 'list', KEY.pending_of .. place[2] .. ':' .. tenant, 0 })
end

-- Read from the first place, and have each id looked at: look(id, key), which returns false if it could not look
-- at it any more.
local function read_place(places, look)
  local place = places[1]
  local kind, key = place[1], P .. place[2]
  if kind == 'tenants' then
    return open_tenant(places)
  elseif kind == 'list' then
    local length = redis.call('LLEN', key)
    local is_short = length <= LONGEST
    local from = is_short and 0 or place[3]
    local ids = redis.call('LRANGE', key, from, is_short and -1 or from + AT_ONCE - 1)
    local at = 0
    while at < #ids and look(ids[at + 1], place[2]) do
      at = at + 1
    end
    if at == #ids and (is_short or #ids < AT_ONCE) then
      table.remove(places, 1)
    else
      place[3] = from + at - (length - redis.call('LLEN', key))
    end
    return
  end
  local found = redis.call('ZSCAN', key, place[3], 'COUNT', AT_ONCE)
  if kind == 'buckets' then
    return open_buckets(places, found[1], found[2])
  end
  for i = 1, #found[2], 2 do
    if not look(found[2][i], place[2]) then
      return
    end
  end
  if found[1] == '0' then
    table.remove(places, 1)
  else
    place[3] = found[1]
  end
end
