-- Add ids to a list, from a place in them on: a thousand with each command, since Lua passes on no more than some thousands of
-- values.
local function push_ids(command, key, ids, from)
  for at = from, #ids, 1000 do
    redis.call(command, key, unpack(ids, at, math.min(at + 999, #ids)))
  end
end
