-- Jobs that will read the result of a completed one: until they have ended, its record is not removed early when memory
-- runs out. They are in a list, and the record says so; earlier versions put the ids (joined by commas) there.

local IN_LIST = '+' -- the record's field `readers` when they are in the list

-- Add readers, up to a thousand, to a completed job if its record is kept. The list expires with the record.
local function add_readers(id, ids)
  local left = #ids > 0 and redis.call('PTTL', P .. KEY.job .. id) or 0
  if left > 0 then
    redis.call('HSET', P .. KEY.job .. id, 'readers', IN_LIST)
    redis.call('RPUSH', P .. KEY.readers .. id, unpack(ids))
    redis.call('PEXPIRE', P .. KEY.readers .. id, left)
  end
end

-- Remove some readers that have ended, and return the others of those that were looked at.
local function take_unended_readers(id, many)
  local unended = {}
  for _, reader in ipairs(redis.call('LPOP', P .. KEY.readers .. id, many) or {}) do
    if not has_ended(reader) then
      unended[#unended + 1] = reader
    end
  end
  return unended
end

-- Note who will read the result of a completed job. For each new reader two known ones are checked, and go to the end if they
-- have not ended: so there are at most about twice as many as have not.
local function note_readers(id, parent)
  local known = split(parent.readers ~= IN_LIST and parent.readers or '')
  for _, ids in ipairs({ take_unended_readers(id, 2 * #parent.new), parent.new }) do
    for _, reader in ipairs(ids) do
      known[#known + 1] = reader
    end
  end
  for at = 1, #known, 1000 do
    add_readers(id, { unpack(known, at, math.min(at + 999, #known)) })
  end
end
