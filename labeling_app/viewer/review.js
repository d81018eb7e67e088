export async function showReview() {}
