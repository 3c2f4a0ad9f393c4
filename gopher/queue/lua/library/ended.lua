-- What the end of a job releases: its unique key, and the jobs that depend on it; and what it tells in other queues.

-- Free the unique key of a job that has ended. A dead letter notes for how long it would have had it, for when it is redriven.
local function free_unique_key(id, unique, is_dead)
  if unique and redis.call('GET', P .. KEY.unique .. unique) == id then
    if is_dead then
      redis.call('HSET', P .. KEY.job .. id, 'unique_left', redis.call('PTTL', P .. KEY.unique .. unique))
    end
    redis.call('DEL', P .. KEY.unique .. unique)
  end
end

local children_released = 0 -- how many went to pending

-- Call when a job has ended in a state; `job` has its fields `unique`, `children` and `tells`.
local function after_end(id, state, job)
  free_unique_key(id, job.unique, DEAD[state])
  if job.tells then
    post_state(id, state, job.tells)
  end
  if job.children then
    -- A dead letter that is redriven ends a second time: its children are notified once.
    redis.call('HDEL', P .. KEY.job .. id, 'children')
    children_released = children_released + notify_children(id, SUCCEEDED[state], job.children)
  end
end
