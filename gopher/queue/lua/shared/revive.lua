-- Let a dead job start afresh: same id and history, attempts from zero. Returns false when its record is gone
-- or corrupt.
local function revive(id)
  local record = P .. 'job:' .. id
  local priority = read(id, 'priority')[1]
  if not priority then
    return false
  end
  redis.call('LPUSH', P .. 'pending:' .. priority, id)
  exhume(id)
  redis.call('HSET', record, 'state', 'pending', 'since', now, 'attempts', 0)
  redis.call('HDEL', record, 'crashes', 'lost', 'error', 'finished', 'duration', 'token', 'cancel', 'expires', 'due',
    'parked', 'group')
  count('redriven', 1)
  return true
end
