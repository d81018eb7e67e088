export async function showStats() {}
