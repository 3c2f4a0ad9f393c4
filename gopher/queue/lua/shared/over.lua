-- Whether a job is over.

-- Return whether a job has ended, or is not there any more.
local function is_over(id)
  local state = redis.pcall('HGET', P .. 'job:' .. id, 'state')
  return type(state) ~= 'string' or ENDED[state]
end
