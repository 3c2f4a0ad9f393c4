-- The prefix of every key of the queue; it carries the hash tag, so that all of them share a slot.
local P = KEYS[1]

-- The server checks maxmemory only at the first write of a script. This one frees memory as far as the server can tell,
-- so that jobs which are already stored keep moving when it is full.
local function allow_when_full()
  redis.call('ZREM', P .. KEY.retrying, '')
end
