-- Read a job that is to be moved while it waits. Returns it, or nil and what to answer: MISSING, or the state that it is in.
local function waiting_job(id)
  local fields = read_record(id, 'state', 'type', 'priority', 'since', 'parked', 'waiting_for', 'tenant')
  if not (fields[1] and fields[2] and fields[3]) then
    return nil, 'MISSING'
  elseif not WAITING[fields[1]] then
    return nil, fields[1]
  end
  return {
    state = fields[1], type = fields[2], priority = fields[3], since = fields[4], parked = fields[5],
    waiting_for = fields[6], tenant = fields[7],
  }
end
