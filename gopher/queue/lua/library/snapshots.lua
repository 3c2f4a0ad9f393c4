-- The copied ids that an export reads: snapshot:<id> names the places; their ids are in copied:<id>:<place>, or, if the place
-- is a sorted set, in copied_sorted:<id>:<place>.

local IS_NO_PLACE = { at = true, paused = true } -- the other fields of snapshot:<id>

local function is_sorted(place)
  return IS_TIMED[place] or DEAD[place] or place == KEY.finished
end

local function copy_of(id, place)
  return (is_sorted(place) and P .. KEY.copied_sorted or P .. KEY.copied) .. id .. ':' .. place
end

-- Return the keys of a snapshot; none if it has expired.
local function snapshot_keys(id)
  local head, keys = P .. KEY.snapshot .. id, {}
  for _, place in ipairs(redis.call('HKEYS', head)) do
    keys[#keys + 1] = IS_NO_PLACE[place] and head or copy_of(id, place)
  end
  return keys
end

-- Keep a snapshot for so many ms more. Returns whether there is one.
local function keep_snapshot(id, ms)
  local keys = snapshot_keys(id)
  for _, key in ipairs(keys) do
    redis.call('PEXPIRE', key, ms)
  end
  return #keys > 0
end
