-- Note that a job will read the results of those that it has waited for: of those that have completed meanwhile, and of those
-- that may complete before it starts, for example if they are redriven after it. These notify it then, which it does not wait for.
local function read_again(id, parents)
  for _, parent in ipairs(split(parents)) do
    local fields = redis.call('HMGET', P .. KEY.job .. parent, 'state', 'children')
    if SUCCEEDED[fields[1]] then
      add_readers(parent, { id })
    elseif fields[1] and not FINISHED[fields[1]] and #(fields[2] or '') < NAMED and not string.find(fields[2] or '', id, 1, true) then
      -- If it ever has two hundred, the others do without: a list would be taken for one of a job whose end is still to be told.
      add_children(parent, fields[2] or nil, { id })
    end
  end
end

-- Let a dead job start over: same id and history, attempts from zero. Returns false if its record is gone or corrupt.
local function revive(id)
  local record = P .. KEY.job .. id
  local fields = read_record(id, 'priority', 'owner', 'tells', 'tenant', 'parents', 'unique', 'unique_left')
  local priority = fields[1]
  if not priority then
    return false
  end
  push_pending('LPUSH', id, priority, fields[4])
  remove_dead_letter(id)
  redis.call('HSET', record, 'state', STATE.pending, 'since', now, 'attempts', 0)
  redis.call('HDEL', record, 'crashes', 'lost', 'error', 'finished', 'duration', 'token', 'cancel', 'expires', 'due',
    'parked', 'group', 'unique_left')
  if fields[7] then
    redis.call('SET', P .. KEY.unique .. fields[6], id, 'NX', 'PX', math.max(tonumber(fields[7]), 1))
  end
  count(COUNTER.redriven, 1)
  count_owner(fields[2], 1)
  if fields[3] then
    post_state(id, STATE.pending, fields[3])
  end
  if fields[5] then
    read_again(id, fields[5])
  end
  return true
end
