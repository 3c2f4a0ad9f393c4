-- What fields of records hold.

-- Split a list that is joined by commas: ids, groups, or how children died, all of them ASCII only.
local function split(text)
  local parts = {}
  for part in string.gmatch(text or '', '[^,\128-\255]+') do
    parts[#parts + 1] = part
  end
  return parts
end

-- Return a number of a record, whatever it was changed to: one that is not whole, or too large to be packed as such, would
-- make a whole reply unreadable.
local function whole_number(text)
  local value = tonumber(text)
  return value and math.abs(value) < 2 ^ 53 and math.floor(value) or 0
end
