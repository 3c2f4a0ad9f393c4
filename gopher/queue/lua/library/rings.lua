-- Which jobs come next while jobs of tenants wait: round robin over the ring, each tenant as many as its weight says. The
-- turns of one call are planned first: a few commands do for all jobs, and one for each tenant.

local limited_of = {} -- id -> tenant, of the jobs of limited tenants that this call has drawn
local drawn_of = {} -- tenant -> how many these are
local rests_left = 100 -- tenants at their limits that one call comes to

-- Take up to `wanted` jobs of a priority in the order of the tenants' turns. Returns their ids. (What it needs is in here, so
-- that it costs other calls nothing.)
local function draw_in_turn(priority, wanted) -- rare
  local ring, lists = P .. KEY.ring .. priority, lists_of_tenants()

  -- Return how many jobs a tenant may get now; a tenant that may get none rests.
  local function room_of(tenant)
    if not tenant_settings[tenant].limited then
      return math.huge
    elseif rests_left <= 0 then
      return 0
    end
    local room, at = tenant_room(tenant)
    room = room - (drawn_of[tenant] or 0)
    if room < 1 then
      rests_left = rests_left - 1
      rest_tenant(priority, tenant, at)
      return nil
    end
    return room
  end

  -- Return of some tenants those that may have jobs now, what each gets in a turn, and what it may get at all.
  local function with_room(found)
    local names, weights, rooms = {}, {}, {}
    for _, tenant in ipairs(found) do
      local room = room_of(tenant)
      if room then
        local is_nothing = room == 0 or tenant == '' and redis.call('EXISTS', P .. KEY.pending .. priority) == 0
        names[#names + 1], rooms[#rooms + 1] = tenant, room
        weights[#weights + 1] = is_nothing and 0 or tenant_settings[tenant].weight
      end
    end
    return names, weights, rooms
  end

  -- Plan the turns of up to `most` jobs; `used` is what the first tenant has had in its turn. Returns the place of a tenant for
  -- each job, whose turn it is then, and how many that one has had in it.
  local function plan(weights, most, is_whole, used)
    local turns, at, total = {}, 1, 0
    for _, weight in ipairs(weights) do
      total = total + weight
    end
    local left = (weights[1] or 0) - math.min(used, weights[1] or 0)
    while total > 0 and #turns < most and (left > 0 or at < #weights or is_whole) do
      if left > 0 then
        turns[#turns + 1], left = at, left - 1
      else
        at = at % #weights + 1
        left = weights[at]
      end
    end
    if left > 0 then
      return turns, at, weights[at] - left
    end
    return turns, at + 1, 0
  end

  local function note_limited(tenant, ids)
    drawn_of[tenant] = (drawn_of[tenant] or 0) + #ids
    for _, id in ipairs(ids) do
      limited_of[id] = tenant
    end
  end

  -- Take what was asked of each tenant. Returns the ids of each, which lists are empty now, and the number of the ids.
  local function take_ids(names, asked)
    local found, is_empty, rest, taken = {}, {}, {}, 0
    for at, many in pairs(asked) do
      local tenant = names[at]
      local ids = redis.call('RPOP', lists.key(priority, tenant), many) or {}
      found[at] = ids
      if tenant ~= '' then
        taken = taken + #ids
        is_empty[at] = #ids < many
        rest[#rest + 1] = #ids == many and lists.key(priority, tenant) or nil
      end
      if tenant_settings[tenant].limited then
        note_limited(tenant, ids)
      end
    end
    -- As a rule all of the lists hold more, or none does.
    local left = #rest > 0 and redis.call('EXISTS', unpack(rest)) or 0
    for at in pairs(asked) do
      if is_empty[at] == false and left < #rest then
        is_empty[at] = left == 0 or redis.call('EXISTS', lists.key(priority, names[at])) == 0
      end
    end
    lists.count(priority, -taken)
    return found, is_empty
  end

  -- Put the tenants back whose lists hold more: those that have had their turns behind all others.
  local function return_tenants(names, is_empty, at, is_whole)
    local had, still, tenants = {}, {}, 0
    for i, tenant in ipairs(names) do
      if not is_empty[i] then
        tenants = tenants + (tenant ~= '' and 1 or 0)
        if i < at then
          had[#had + 1] = tenant
        else
          table.insert(still, 1, tenant)
        end
      end
    end
    if is_whole and tenants == 0 then
      return
    end
    if #still > 0 then
      redis.call('RPUSH', ring, unpack(still))
    end
    if #had > 0 then
      redis.call('LPUSH', ring, unpack(had))
    end
    if tenants == 0 then
      lists.end_ring_if_alone(priority)
    end
  end

  local function note_used(used, used_before)
    if used == 0 and used_before > 0 then
      redis.call('HDEL', P .. KEY.turns, priority)
    elseif used ~= used_before then
      redis.call('HSET', P .. KEY.turns, priority, used)
    end
  end

  local drawn = {}

  -- Give one job to each of some tenants of whom nothing is set, while there are more in the ring: a short way for many.
  local function give_one_each(names)
    local keys, taken, is_empty = {}, 0, {}
    local head = P .. KEY.pending_of .. priority .. ':'
    for i, tenant in ipairs(names) do
      local key = tenant == '' and P .. KEY.pending .. priority or head .. tenant
      local id = redis.call('RPOP', key)
      if id then
        drawn[#drawn + 1] = id
      end
      if tenant ~= '' then
        taken = taken + 1
        keys[taken] = key
      end
    end
    local left = taken > 0 and redis.call('EXISTS', unpack(keys)) or 0
    for i, tenant in ipairs(left < taken and names or {}) do
      is_empty[i] = tenant ~= '' and (left == 0 or redis.call('EXISTS', head .. tenant) == 0)
    end
    lists.count(priority, -taken)
    return_tenants(names, is_empty, #names + 1, false)
  end

  -- Go round the ring once, or as often as it takes if it is small. Returns false if there is no ring.
  local function go_round(most)
    local found = redis.call('RPOP', ring, most)
    if not found then
      return false
    end
    local is_whole = redis.call('EXISTS', ring) == 0
    local used_before = tonumber(redis.call('HGET', P .. KEY.turns, priority)) or 0
    if read_tenant_settings(found) and not is_whole then
      give_one_each(found)
      note_used(0, used_before)
      return true
    end
    local names, weights, rooms = with_room(found)
    local turns, at, used = plan(weights, most, is_whole, used_before)
    local asked, given = {}, {}
    for _, place in ipairs(turns) do
      asked[place] = math.min((asked[place] or 0) + 1, rooms[place])
    end
    local found, is_empty = take_ids(names, asked)
    return_tenants(names, is_empty, at, is_whole)
    note_used(is_empty[at] and 0 or used, used_before)
    for _, place in ipairs(turns) do
      given[place] = (given[place] or 0) + 1
      drawn[#drawn + 1] = found[place][given[place]]
    end
    return true
  end

  while #drawn < wanted and rests_left > 0 do
    if not go_round(wanted - #drawn) then
      local ids = redis.call('RPOP', P .. KEY.pending .. priority, wanted - #drawn) or {}
      for _, id in ipairs(ids) do
        drawn[#drawn + 1] = id
      end
      break
    end
  end
  return drawn
end

-- Take up to `wanted` jobs of a priority to the left end of a list. Returns their ids, or false for none.
local function draw_to(list, priority, wanted)
  local ids
  if sees_tenants() then
    ids = draw_in_turn(priority, wanted)
  else
    ids = redis.call('RPOP', P .. KEY.pending .. priority, wanted)
  end
  if not ids or #ids == 0 then
    return false
  end
  redis.call('LPUSH', list, unpack(ids))
  return ids
end

-- The same for one job. Returns its id.
local function draw_one_to(list, priority)
  if sees_tenants() then
    local ids = draw_to(list, priority, 1)
    return ids and ids[1]
  end
  return redis.call('LMOVE', P .. KEY.pending .. priority, list, 'RIGHT', 'LEFT')
end
