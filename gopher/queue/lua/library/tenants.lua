-- Jobs of tenants. Those of one priority wait in a list for each tenant, pending_of:<priority>:<tenant>, and ring:<priority>
-- names the tenants whose lists are in turn, the next one at the right; '' in it is the list of the jobs without a tenant.
-- A list that holds ids is in its ring once, or its tenant rests because its limit is reached: then `resting` has
-- <priority>:<tenant>, and `throttled` says when to check the bucket @<tenant>. An empty list is in neither.
-- tenant_ids exists while there is such a list.

local has_tenants = nil -- whether ids wait in lists of tenants; nil while that is not known

local function sees_tenants()
  if has_tenants == nil then
    has_tenants = redis.call('EXISTS', P .. KEY.tenant_ids) == 1
  end
  return has_tenants
end

local tenant_lists = nil

-- Return what moves ids of tenants' jobs. (Each is made with the first such job of a call: the others cost nothing.)
local function lists_of_tenants()
  if tenant_lists then
    return tenant_lists
  end
  local lists = {}
  tenant_lists = lists

  lists.key = function(priority, tenant)
    return tenant == '' and P .. KEY.pending .. priority or P .. KEY.pending_of .. priority .. ':' .. tenant
  end

  lists.count = function(priority, by)
    if by ~= 0 and redis.call('HINCRBY', P .. KEY.tenant_ids, priority, by) <= 0 then
      redis.call('HDEL', P .. KEY.tenant_ids, priority)
    end
  end

  lists.join_ring = function(priority, tenants)
    local ring, length = P .. KEY.ring .. priority, 0
    has_tenants = true
    for at = 1, #tenants, 1000 do
      length = redis.call('LPUSH', ring, unpack(tenants, at, math.min(at + 999, #tenants)))
    end
    if length == #tenants then
      redis.call('RPUSH', ring, '')
    end
  end

  -- A ring without tenants is none.
  lists.end_ring_if_alone = function(priority)
    if redis.call('LLEN', P .. KEY.ring .. priority) <= 1 then
      redis.call('DEL', P .. KEY.ring .. priority)
      redis.call('HDEL', P .. KEY.turns, priority)
    end
  end

  -- Add ids of tenants, of each an id or a table of them: LPUSH behind those that wait, RPUSH before them.
  lists.push_all = function(command, priority, names, ids_of)
    local head, joining, pushed, call = P .. KEY.pending_of .. priority .. ':', {}, 0, redis.call
    for place = 1, #names do
      local tenant = names[place]
      local ids, many, length = ids_of[tenant], 1, nil
      if type(ids) == 'table' then
        many = #ids
        for at = 1, many, 1000 do
          length = call(command, head .. tenant, unpack(ids, at, math.min(at + 999, many)))
        end
      else
        length = call(command, head .. tenant, ids)
      end
      pushed = pushed + many
      if length == many then
        joining[#joining + 1] = tenant
      end
    end
    lists.count(priority, pushed)
    if #joining > 0 then
      lists.join_ring(priority, joining)
    end
  end

  lists.push = function(command, priority, tenant, id)
    lists.push_all(command, priority, { tenant }, { [tenant] = id })
  end

  return lists
end

-- Add the id of a job to the list that it waits in: LPUSH at the end, RPUSH at the head.
local function push_pending(command, id, priority, tenant)
  if tenant then
    lists_of_tenants().push(command, priority, tenant, id)
  else
    redis.call(command, P .. KEY.pending .. priority, id)
  end
end
