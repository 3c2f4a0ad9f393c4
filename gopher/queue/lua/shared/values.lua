-- Reads several values for who looks and moves nothing; {} where something else stands at the key.
local function values_of(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and not reply.err and reply or {}
end
