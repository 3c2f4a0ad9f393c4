-- The import of a queue is complete: jobs that wait for jobs which have not come with it follow those, and batches, that are
-- there; for others they are notified as if these had not completed.
--
-- KEYS  1 prefix
-- ARGV  ids of such parents, and of each the queue that has it, or ''
-- Returns  OK

-- Have jobs wait for one of another queue, or for a batch.
local function follow_awaited(parent, queue)
  local children = P .. KEY.awaiting .. parent
  redis.call('SREM', P .. KEY.awaited, parent)
  local child = redis.call('LPOP', children)
  while child do
    follow_remote(parent, queue, child)
    child = redis.call('LPOP', children)
  end
end

for i = 1, #ARGV, 2 do
  local id, queue = ARGV[i], ARGV[i + 1]
  local state = redis.call('HGET', P .. KEY.job .. id, 'state')
  if state or queue == '' then
    link_awaiting(id, id, state)
  else
    follow_awaited(id, queue)
  end
end
return 'OK'
