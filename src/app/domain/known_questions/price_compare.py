"""Questions about prices, as people ask them: in full, in two words, with typing errors."""

from __future__ import annotations

QUESTIONS = """
How much does it cost?
What is the price of this laptop?
Which store sells this product cheapest?
Compare the prices of these two phones.
Is there a discount on washing machines this week?
Where can I buy headphones for less than 100 dollars?
Which of these two offers is the better deal?
Show me the best value television under 500 euros.
Is the premium plan worth the extra money?
Find a cheaper alternative to this coffee machine.
What did this camera cost last month, and has it gone down?
How much is shipping if I order online?
Which brand of butter is the cheapest?
What do a dozen eggs cost at the market?
How much is a cheap phone?
cheap shoes
any discounts?
Was kostet das?
Wo ist es am billigsten?
Welcher Laden hat das beste Angebot?
Combien ça coûte ?
Quel magasin est le moins cher ?
Où y a-t-il une promotion ?
¿Cuánto cuesta esto?
¿Qué tienda tiene el mejor precio?
¿Hay una oferta más barata?
Quanto costa?
Dove si trova al prezzo più basso?
Quanto custa?
Qual é a loja mais barata?
Hoeveel kost het?
Welke winkel is het goedkoopst?
What does this food cost?
Which food is the cheapest?
How much do you want for it?
How much would I have to pay altogether?
How much is a return ticket to Vienna?
How much are the blue curtains?
How much is one night in a double room?
How much do new brake pads cost, fitted?
How much does it cost to have a piano tuned?
How much does a plumber charge per hour?
How much is insurance for a new driver?
How expensive is a taxi from the airport?
How pricey are solar panels at the moment?
What does the cleaning service cost per visit?
What do you charge for engraving?
What's the price of the family tent?
What is the cost of a litre of milk?
What is the rent for a studio in this area?
What would I pay for the same thing elsewhere?
What will a driving licence cost me in total?
What are your rates for a wedding photographer?
What are the fees for opening an account?
What's the cheapest broadband in my street?
What's a fair price for a second-hand guitar?
What is the lowest you would accept?
What does the yearly membership come to per month?
What price range are the standing desks in?
What can I get for around eighty pounds?
What is a reasonable amount to spend on a mattress?
Which one is cheaper, the red or the black?
Which tyres offer the best value for money?
Which chemist is the least expensive for sun cream?
Which online shop has the lowest price on this lens?
Which of the three quotes is the best deal?
Which plan costs less if I use it twice a week?
Which brand of detergent gives the most washes per euro?
Which airline is cheapest for a flight to Rome?
Who has the best price on winter boots?
Who offers the cheapest car hire at the airport?
Where do I find bargains on children's clothes?
Where can I buy a reasonably priced sofa?
Where is petrol cheapest today?
Where would I get the most for my money?
Where are eggs cheaper, at the farm or at the supermarket?
Is there a cheaper version of this watch?
Is there anything similar for less money?
Is the bigger pack better value?
Is the sale still on?
Is 450 too much for this bike?
Is delivery free above a certain amount?
Is it cheaper to rent or to buy the tools?
Is it cheaper by train or by car?
Is the more expensive blender worth it?
Is VAT included in the price?
Is there a fee for paying by instalments?
Is this a good deal?
Are there any special offers on bedding?
Are there hidden costs?
Are there reductions for pensioners or for children?
Are the prices at the outlet really lower?
Are own-brand nappies much cheaper than the big names?
Do you match a competitor's price?
Do you have a sale coming up?
Do you have a promo code for new customers?
Do prices drop after Christmas?
Do I get a discount if I pay in cash?
Does the smaller model cost a lot less?
Does anyone sell it for under a hundred?
Can I get it cheaper somewhere else?
Can I get a quote for a new roof?
Can you give me a discount?
Can you find me the best offer on a tablet?
Can you do any better on the price?
Could you compare what these four shops ask for the same drill?
Could you let me know the charge for gift wrapping?
Would it be less expensive to repair it or to replace it?
Will the price go up next month?
Has the price of this monitor dropped lately?
Did it use to be cheaper?
Why is this brand so much more expensive than that one?
Compare the cost of a taxi and a bus pass.
Compare prices for a king-size bed.
Compare electricity suppliers for me and tell me which costs least.
Find the cheapest hotel near the beach.
Find me a good vacuum cleaner for less than 150.
Show me laptops up to 700 dollars.
Show today's deals.
List the five cheapest coffee grinders.
Tell me the price of the large rucksack.
Tell me which of these televisions is the better buy.
Give me an estimate for painting two rooms.
Send me a price list, please.
I want to spend no more than 40 euros on a gift.
I need a cheap washing machine that will last.
I need something affordable for a student room.
I have a budget of two thousand for a kitchen.
I saw it ten dollars cheaper in another shop.
I think I'm paying too much for my phone contract.
I can't afford the new one, is there a used one?
I'm looking for a bargain on garden tools.
I'd like to know what a family ticket costs.
I was wondering how much you'd ask for altering a dress.
I would like a quotation for fifty T-shirts.
We're comparing two offers for new windows and want the cheaper one.
We only have a small budget for the party, what would it cost at your place?
My neighbour paid a lot less for the same fridge.
That's too expensive for me.
It was cheaper last year, wasn't it?
They want 90 for it, is that a good price?
The other shop sells it at a lower price.
Our heating bill has doubled and I want to know which supplier would be cheaper for a house of four.
I'm choosing between two phones, one at 399 and one at 449 with more memory, and want to know whether the dearer one \
is worth the difference.
We want to fly with the kids in the summer holidays and would like to know when tickets are cheapest.
I've been offered a used van for 6,500 with 90,000 on the clock; is that about what they go for?
We need forty chairs for one evening and wonder what hiring them would come to.
laptop price
price of gold chain
cheapest tv 50 inch
cheap flights barcelona
best deal electric toothbrush
discount sneakers
voucher code pizza
black friday offers
sale winter coats
car insurance quotes compare
sofa under 500
how much iphone
cost of living room carpet
cost kitchen renovation
average price house painter
rental price van per day
netflix monthly cost
lowest price graphics card
affordable wedding dress
budget headphones
used car value
shipping cost canada
price comparison vacuum cleaners
price per kilo potatoes
cost per serving protein bar
prices?
too expensive
any deals
wats the cost
how mutch is this
chepest plane tickets
whats the prise of a tikket
any discout for studens
were can i buy it cheeper
best priec for a fridge
How much is a loaf of bread?
How much does a pizza cost here?
What does a kilo of apples cost?
What do vitamins cost at the pharmacy?
What does the menu of the day cost?
Which supermarket has the cheapest vegetables?
Which vegan burger is the least expensive?
Where is baby food on offer this week?
Is the gluten-free pasta more expensive than the normal one?
Is organic meat worth the higher price?
Are the vitamin tablets on sale?
Are groceries cheaper online?
How much would a low-carb meal box cost per week?
How much does a nutritionist charge?
Compare the prices of oat milk and soy milk.
cheap healthy food delivery price
lactose free cheese price
olive oil 5 litres cheapest
Wie teuer ist das?
Wie viel kostet der Versand?
Was verlangt ein Handwerker pro Stunde?
Gibt es das irgendwo billiger?
Gibt es gerade einen Rabatt?
Ist das ein gutes Angebot?
Welches Modell ist preiswerter?
Ich suche einen günstigen Staubsauger.
Preisvergleich Waschmaschine
Was kosten Eier im Supermarkt?
Quel est le prix de ce vélo ?
C'est combien ?
Combien coûte un billet pour Paris ?
Y a-t-il une réduction pour les étudiants ?
Où puis-je l'acheter moins cher ?
C'est trop cher, avez-vous autre chose ?
Comparez les prix de ces deux téléviseurs.
Combien coûtent les légumes bio ?
prix machine à laver
¿Qué precio tiene?
¿Cuánto vale la entrada?
¿Dónde lo venden más barato?
¿Hay algún descuento?
¿Es una buena oferta?
¿Cuánto cobran por el envío?
Busco una nevera económica.
¿Cuánto cuesta el pan?
comparar precios móviles
Qual è il prezzo?
Quanto costano le scarpe?
Dove posso comprarlo a meno?
C'è uno sconto?
È troppo caro.
Quanto costa la pasta senza glutine?
Quanto é que custa o bilhete?
Qual é o preço do bilhete?
Onde é mais barato?
Há algum desconto?
Está em promoção?
Wat kost een kaartje?
Wat is de prijs van deze fiets?
Is er korting?
Waar kan ik het goedkoper kopen?
Wat kost een brood?
"""
