-- Return whether a job has ended, or does not exist any more.
local function has_ended(id)
  local state = redis.pcall('HGET', P .. KEY.job .. id, 'state')
  return type(state) ~= 'string' or ENDED[state]
end
