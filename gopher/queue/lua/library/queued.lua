-- Jobs of a call that may run at once: they are put into the lists in which they wait with one command for each list.

local queued, queued_jobs = {}, 0 -- priority -> ids of jobs without a tenant; and how many jobs there are
local tenants_queued = {} -- priority -> those of tenants: their names in order, and of each the id, or a table of them

local function queue_up(id, priority, tenant)
  queued_jobs = queued_jobs + 1
  if not tenant then
    local ids = queued[priority] or {}
    queued[priority] = ids
    ids[#ids + 1] = id
    return
  end
  local of_tenants = tenants_queued[priority]
  if not of_tenants then
    of_tenants = { names = {}, ids = {} }
    tenants_queued[priority] = of_tenants
  end
  -- Most tenants of a call have one job in it: those need no table.
  local names, ids_of = of_tenants.names, of_tenants.ids
  local ids = ids_of[tenant]
  if not ids then
    names[#names + 1], ids_of[tenant] = tenant, id
  elseif type(ids) == 'table' then
    ids[#ids + 1] = id
  else
    ids_of[tenant] = { ids, id }
  end
end

-- Afterwards none is queued up, but `queued_jobs` still counts all of the call.
local function push_queued()
  for priority, ids in pairs(queued) do
    push_ids('LPUSH', P .. KEY.pending .. priority, ids, 1)
  end
  for priority, of_tenants in pairs(tenants_queued) do
    lists_of_tenants().push_all('LPUSH', priority, of_tenants.names, of_tenants.ids)
  end
  queued, tenants_queued = {}, {}
end
