-- What the end of a job releases: its unique key, and the jobs that depend on it; and what it tells in other queues.

local function free_unique_key(id, unique)
  if unique and redis.call('GET', P .. KEY.unique .. unique) == id then
    redis.call('DEL', P .. KEY.unique .. unique)
  end
end

local children_released = 0 -- how many went to pending

-- Call when a job has ended in a state; `job` has its fields `unique`, `children` and `tells`.
local function after_end(id, state, job)
  free_unique_key(id, job.unique)
  if job.tells then
    post_state(id, state, job.tells)
  end
  if job.children then
    -- A dead letter that is redriven ends a second time: its children are notified once.
    redis.call('HDEL', P .. KEY.job .. id, 'children')
    children_released = children_released + notify_children(id, SUCCEEDED[state], job.children)
  end
end
