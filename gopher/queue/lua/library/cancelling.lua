-- The fields of a record that cancelling its job needs.
local function read_to_cancel(id)
  return read_record(id, 'state', 'type', 'priority', 'retention', 'token', 'unique', 'children', 'parked', 'owner', 'tells',
    'tenant')
end

-- Have a running job stopped: its worker learns of it from the heartbeat.
local function ask_to_stop(id, token)
  set_extra(id, 'cancel', 1)
  redis.call('SADD', P .. KEY.cancelling .. string.match(token, '^(.*)%.'), id)
end

-- Take an id out of a list of throttled jobs, if it is short enough.
local function leave_throttled(list, id, priority)
  if remove_from_short(list, id) then
    redis.call('HINCRBY', P .. KEY.parked_jobs, priority, -1)
  end
end

-- Take the id of a tenant's job out of the tenant's list. The last one stays, so that no ring has to be searched for the tenant.
local function leave_list_of_tenant(id, priority, tenant)
  local lists = lists_of_tenants()
  local list = lists.key(priority, tenant)
  if redis.call('LLEN', list) > 1 and remove_from_short(list, id) then
    lists.count(priority, -1)
    return true
  end
end

-- Take an id out of the list in which it is pending, or have it skipped there.
local function leave_pending(id, priority, tenant)
  if not (tenant and leave_list_of_tenant(id, priority, tenant))
      and not remove_from_short(P .. KEY.pending .. priority, id) then
    redis.call('HINCRBY', P .. KEY.tombstones, priority, 1)
  end
end

-- End a waiting job that has left its place, and count it by `counter`.
local function end_waiting(id, fields, state, counter, default_retention)
  local job = { retention = fields[4], unique = fields[6], children = fields[7], tells = fields[10] }
  return_unique_key(id, job.unique)
  finish(id, state, job, default_retention)
  count(counter .. fields[2], 1)
  count_owner(fields[9], -1)
end
