-- Run a command that reads several values, for scripts that only read; {} if the key holds something else.
local function values_of(...)
  local reply = redis.pcall(...)
  return type(reply) == 'table' and not reply.err and reply or {}
end
