-- Jobs that wait for a job of another queue, or for a batch: they are in a list of their own queue, and the other one is told to
-- post how the job ends.

local followed = {} -- what has been asked for in this call

-- Have a new job wait for one of another queue.
local function follow_remote(parent, queue, id)
  redis.call('RPUSH', P .. KEY.remote_children .. parent, id)
  if not followed[parent] then
    followed[parent] = true
    post(queue, 'follow', parent, '', STATE.pending, 0, now)
  end
end
